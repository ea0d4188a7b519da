# goldsmith: take
# Copies a file from the CD that the machine has just been given, and says its SHA-256, read back from the disk. The
# folder must exist. The CD is known by the file's name, which is random, since its letter is not.
#
# Arguments: path, with slashes of either kind, a relative one starts at the user's folder; name, the file's on the CD;
#   bytes, its size; seconds, how long to look for the CD.
# Answers: sha256 HEX, or: folder (the path is one), or: failed WHY (base64), or: missing (there is no such CD)
param($a, $lines)
$ErrorActionPreference = 'Stop'
function Write-Failed([string] $why) { Write-Text failed $why; exit 0 }
$path = $a.path.Replace('/', '\')
if (-not [IO.Path]::IsPathRooted($path)) { $path = Join-Path $env:USERPROFILE $path }
if ([IO.Directory]::Exists($path)) { Write-Answer folder; exit 0 }
$found = $null
$clock = [Diagnostics.Stopwatch]::StartNew()
while (-not $found) {
    foreach ($drive in [IO.DriveInfo]::GetDrives()) {
        # A drive may lose its medium at any moment.
        try {
            if ($drive.DriveType -ne [IO.DriveType]::CDRom -or -not $drive.IsReady) { continue }
            $file = New-Object IO.FileInfo ($drive.Name + $a.name)
            if ($file.Exists -and $file.Length -eq $a.bytes) { $found = $file.FullName }
        } catch { continue }
    }
    if (-not $found) {
        if ($clock.Elapsed.TotalSeconds -ge $a.seconds) { Write-Answer missing; exit 0 }
        Start-Sleep -Milliseconds 500
    }
}
# Its content only: files of CDs are read-only, and a copy of the file would be as well.
try {
    $file = [IO.File]::Open($path, [IO.FileMode]::Create, [IO.FileAccess]::Write, [IO.FileShare]::None)
} catch {
    Write-Failed ($_.Exception.GetBaseException().Message)
}
$from = $null
try {
    $from = [IO.File]::OpenRead($found)
    $from.CopyTo($file, 1048576)
    $file.Flush($true)
} catch {
    $why = $_.Exception.GetBaseException().Message
    $file.Dispose()
    Remove-Item -LiteralPath $path -Force -ErrorAction SilentlyContinue
    Write-Failed $why
} finally {
    $file.Dispose()
    if ($from) { $from.Dispose() }
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
