# goldsmith: clock
# Sets the clock of a machine that was resumed from saved RAM.
#
# Arguments: now, seconds since 1970.
# Answers: clock
param($a, $lines)
$ErrorActionPreference = 'Stop'
$epoch = New-Object DateTime 1970, 1, 1, 0, 0, 0, ([DateTimeKind]::Utc)
$now = $epoch.AddSeconds([double] $a.now).ToLocalTime()
Set-Date -Date $now | Out-Null
Write-Answer clock
exit 0
