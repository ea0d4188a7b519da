# goldsmith: launch
# Runs script.ps1 beside it, as the script `run` does it: what a job's process begins with (job-start).
#
# Exit code: the script's `exit`; without one, that of the last program that it ran, or 0; 1 when an error ends it.
#            126: the script does not parse.
$global:ProgressPreference = 'SilentlyContinue'
$goldsmithErrors = $null
[void] [Management.Automation.Language.Parser]::ParseFile("$PSScriptRoot\script.ps1", [ref] $null, [ref] $goldsmithErrors)
if ($goldsmithErrors) {
    foreach ($goldsmithError in $goldsmithErrors) {
        $goldsmithLine = $goldsmithError.Extent.StartLineNumber
        [Console]::Error.WriteLine("line $goldsmithLine of the script: $($goldsmithError.Message)")
    }
    exit 126
}
$global:LASTEXITCODE = $null
& "$PSScriptRoot\script.ps1"
exit $LASTEXITCODE
