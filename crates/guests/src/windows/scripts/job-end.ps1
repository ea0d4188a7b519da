# goldsmith: job-end
# Removes a job (see job-start): ends it if it runs, then its task and its folder.
#
# Arguments: id.
# Answers: removed
param($a, $lines)
$ErrorActionPreference = 'Stop'
$folder = "$env:SystemRoot\Temp\goldsmith-$($a.id)"
$service = New-Object -ComObject Schedule.Service
$service.Connect()
$root = $service.GetFolder('\')
# Each may be done already.
try { $root.GetTask("goldsmith-$($a.id)").Stop(0) } catch { [void] $_ }
try { $root.DeleteTask("goldsmith-$($a.id)", 0) } catch { [void] $_ }
# The file of its output stays open until the last of its processes has ended.
for ($i = 0; $i -lt 20 -and (Test-Path -LiteralPath $folder); $i++) {
    if ($i -gt 0) { Start-Sleep -Milliseconds 500 }
    Remove-Item -LiteralPath $folder -Recurse -Force -ErrorAction SilentlyContinue
}
Write-Answer removed
exit 0
