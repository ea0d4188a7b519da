# goldsmith: run
# Writes a template's script to a file and runs it in this process, as the connected user. Its output is this process's,
# untouched. The file is removed by the caller, whatever becomes of this process.
#
# Arguments: id, for the name of the file.
# Data: the script.
# Answers: starts, just before the script
# Exit code: the script's `exit`; without one, that of the last program that it ran, or 0; 1 when an error ends it.
#            126: the script does not parse. 90: the input ended too early.
#
# Nothing around the script catches errors: in a script that is called from a `try`, some errors would end it that
# otherwise do not.
param($a, $lines)
$goldsmithPath = "$env:SystemRoot\Temp\goldsmith-$($a.id).ps1"
$goldsmithFile = [IO.File]::Create($goldsmithPath)
$goldsmithWhole = $false
while ($lines.MoveNext()) {
    if ($lines.Current -eq '.') { $goldsmithWhole = $true; break }
    $goldsmithBytes = [Convert]::FromBase64String($lines.Current)
    $goldsmithFile.Write($goldsmithBytes, 0, $goldsmithBytes.Length)
}
$goldsmithFile.Dispose()
if (-not $goldsmithWhole) { exit 90 }
$goldsmithErrors = $null
[void] [Management.Automation.Language.Parser]::ParseFile($goldsmithPath, [ref] $null, [ref] $goldsmithErrors)
[Console]::Out.WriteLine("$($a.mark) starts")
if ($goldsmithErrors) {
    foreach ($goldsmithError in $goldsmithErrors) {
        $goldsmithLine = $goldsmithError.Extent.StartLineNumber
        [Console]::Error.WriteLine("line $goldsmithLine of the script: $($goldsmithError.Message)")
    }
    exit 126
}
$global:LASTEXITCODE = $null
& $goldsmithPath
exit $LASTEXITCODE
