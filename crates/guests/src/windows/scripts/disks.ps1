# goldsmith: disks
# Brings data disks online and makes them writable, as they are on a machine in Azure. Blank disks stay blank, since
# scripts of templates look for raw disks; disks with volumes get their letters from Windows.
#
# Arguments: disks, how many there are.
# Answers: online NUMBER
param($a, $lines)
$ErrorActionPreference = 'Stop'
Update-HostStorageCache
$deadline = [Diagnostics.Stopwatch]::StartNew()
do {
    $data = @(Get-Disk | Where-Object { -not $_.IsBoot -and -not $_.IsSystem })
    if ($data.Count -ge $a.disks) { break }
    Start-Sleep -Seconds 1
    Update-HostStorageCache
} while ($deadline.Elapsed.TotalSeconds -lt 60)
foreach ($disk in $data) {
    if ($disk.IsOffline) { Set-Disk -Number $disk.Number -IsOffline $false }
    if ($disk.IsReadOnly) { Set-Disk -Number $disk.Number -IsReadOnly $false }
}
$online = @($data | ForEach-Object { Get-Disk -Number $_.Number } | Where-Object { -not $_.IsOffline })
Write-Answer "online $($online.Count)"
exit 0
