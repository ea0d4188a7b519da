# goldsmith: sync
# Writes all that Windows holds in memory for its registry and its volumes to the disks, for a state in which the disk
# can be kept. That state must not be in the middle of an installation or of a shutdown: then it says so and writes
# nothing.
#
# A shutdown is in progress, or scheduled, when the newest of the log's entries about boots (6005), shutdowns (1074) and
# shutdowns that were called off (1075) is about a shutdown. By number, since the clock may have been set.
#
# Answers: synced, or one of these with a reason (base64): stopping, busy (installers at work), failed
param($a, $lines)
$ErrorActionPreference = 'Stop'
# Writes one of the registry's files. Windows does so by itself only now and then. .NET does nothing for a key that has
# not been changed through it.
function Write-Hive([Microsoft.Win32.RegistryKey] $root, [string] $name) {
    $key = $root.OpenSubKey($name, $true)
    $key.SetValue('goldsmith-sync', '')
    $key.DeleteValue('goldsmith-sync')
    $key.Flush()
    $key.Dispose()
}
try {
    $filter = @{ LogName = 'System'; ProviderName = 'EventLog', 'User32'; Id = 6005, 1074, 1075 }
    $newest = Get-WinEvent -FilterHashtable $filter -MaxEvents 20 -ErrorAction SilentlyContinue |
        Sort-Object -Property RecordId -Descending | Select-Object -First 1
    if ($newest -and $newest.Id -eq 1074) { Write-Text stopping $newest.Message; exit 0 }
    # An installation owns this mutex. It may also be there without one: the service stays for ten minutes afterwards.
    $mutex = $null
    $installs = $false
    try {
        if ([Threading.Mutex]::TryOpenExisting('Global\_MSIExecute', [ref] $mutex)) {
            $installs = -not $mutex.WaitOne(0)
            if (-not $installs) { $mutex.ReleaseMutex() }
        }
    } catch [Threading.AbandonedMutexException] {
        # The installation's process has died, and the mutex is ours.
        $mutex.ReleaseMutex()
    } catch {
        $installs = $true
    }
    if ($mutex) { $mutex.Dispose() }
    if ($installs) { Write-Text busy 'an installation by msiexec.exe is in progress'; exit 0 }
    if (Get-Process -Name TiWorker -ErrorAction SilentlyContinue) { Write-Text busy 'TiWorker.exe runs'; exit 0 }
    foreach ($hive in 'SOFTWARE', 'SYSTEM') { Write-Hive ([Microsoft.Win32.Registry]::LocalMachine) $hive }
    foreach ($user in [Microsoft.Win32.Registry]::Users.GetSubKeyNames()) {
        # One may be unloaded at this moment, and is written then.
        try { Write-Hive ([Microsoft.Win32.Registry]::Users) $user } catch { [void] $_ }
    }
    foreach ($volume in Get-Volume | Where-Object { $_.DriveType -eq 'Fixed' -and $_.FileSystem -and $_.Size -gt 0 }) {
        # Nothing that a step wrote is on a volume without a letter, such as that for recovery.
        try { Write-VolumeCache -InputObject $volume } catch { if ($volume.DriveLetter) { throw } }
    }
} catch {
    Write-Text failed $_.Exception.Message
    exit 0
}
Write-Answer synced
exit 0
