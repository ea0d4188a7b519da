# goldsmith: sync
# Writes all that Windows holds in memory for its volumes to the disks, for a state in which the disk can be kept.
# That state must not be in the middle of an installation or of a shutdown: then it says so and writes nothing.
#
# A shutdown is in progress, or scheduled, when the newest of the log's entries about boots (6005), shutdowns (1074) and
# shutdowns that were called off (1075) is about a shutdown. By number, since the clock may have been set.
#
# Answers: synced, or one of these with a reason (base64): stopping, busy (installers at work), failed
param($a, $lines)
$ErrorActionPreference = 'Stop'
try {
    $filter = @{ LogName = 'System'; ProviderName = 'EventLog', 'User32'; Id = 6005, 1074, 1075 }
    $newest = Get-WinEvent -FilterHashtable $filter -MaxEvents 20 -ErrorAction SilentlyContinue |
        Sort-Object -Property RecordId -Descending | Select-Object -First 1
    if ($newest -and $newest.Id -eq 1074) { Write-Text stopping $newest.Message; exit 0 }
    # Its service stays for ten minutes after an installation; an installation itself holds this mutex.
    $mutex = $null
    $installs = $false
    try { $installs = [Threading.Mutex]::TryOpenExisting('Global\_MSIExecute', [ref] $mutex) } catch { $installs = $true }
    if ($mutex) { $mutex.Dispose() }
    if ($installs) { Write-Text busy 'an installation by msiexec.exe is in progress'; exit 0 }
    if (Get-Process -Name TiWorker -ErrorAction SilentlyContinue) { Write-Text busy 'TiWorker.exe runs'; exit 0 }
    foreach ($volume in Get-Volume | Where-Object { $_.DriveType -eq 'Fixed' -and $_.FileSystem -and $_.Size -gt 0 }) {
        Write-VolumeCache -InputObject $volume
    }
} catch {
    Write-Text failed $_.Exception.Message
    exit 0
}
Write-Answer synced
exit 0
