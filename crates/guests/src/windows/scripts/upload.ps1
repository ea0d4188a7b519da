# goldsmith: upload
# Writes a file from the data and says its SHA-256, read back from the disk. The folder must exist.
#
# Arguments: path, with slashes of either kind; a relative one starts at the user's folder.
# Data: the file.
# Answers: sha256 HEX, or: folder (the path is one), or: failed WHY (base64)
# Exit code 90: the input ended too early; the file is removed again.
param($a, $lines)
$ErrorActionPreference = 'Stop'
function Write-Failed([string] $why) { Write-Text failed $why; exit 0 }
$path = $a.path.Replace('/', '\')
if (-not [IO.Path]::IsPathRooted($path)) { $path = Join-Path $env:USERPROFILE $path }
if ([IO.Directory]::Exists($path)) { Write-Answer folder; exit 0 }
try {
    $file = [IO.File]::Open($path, [IO.FileMode]::Create, [IO.FileAccess]::Write, [IO.FileShare]::None)
} catch {
    Write-Failed ($_.Exception.GetBaseException().Message)
}
$whole = $false
try {
    while ($lines.MoveNext()) {
        if ($lines.Current -eq '.') { $whole = $true; break }
        $bytes = [Convert]::FromBase64String($lines.Current)
        $file.Write($bytes, 0, $bytes.Length)
    }
    $file.Flush($true)
} catch {
    $why = $_.Exception.GetBaseException().Message
    $file.Dispose()
    Remove-Item -LiteralPath $path -Force -ErrorAction SilentlyContinue
    Write-Failed $why
}
$file.Dispose()
if (-not $whole) {
    Remove-Item -LiteralPath $path -Force -ErrorAction SilentlyContinue
    exit 90
}
$hash = [Security.Cryptography.SHA256]::Create()
try {
    $file = [IO.File]::OpenRead($path)
    $hex = [BitConverter]::ToString($hash.ComputeHash($file)).Replace('-', '').ToLowerInvariant()
    $file.Dispose()
} catch {
    Write-Failed ($_.Exception.GetBaseException().Message)
}
Write-Answer "sha256 $hex"
exit 0
