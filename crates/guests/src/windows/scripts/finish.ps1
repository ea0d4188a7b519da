# goldsmith: finish
# The end of a build in the guest, after Sysprep: waits until the job's folder is gone, which is the other side's word
# that it has read everything, or for two minutes. Then removes what the build has brought, looks whether anything is
# left, says so on the serial ports, and shuts down. With something left the machine stays on.
#
# Its argument: the folder of the job that starts it, with arguments.json: mark; user, the build user.
# On the serial ports: goldsmith MARK generalized, or: goldsmith MARK leftover WHAT
param($folder)
$ProgressPreference = 'SilentlyContinue'
$a = ConvertFrom-Json ([IO.File]::ReadAllText("$folder\arguments.json"))
Set-Location "$env:SystemDrive\"
[IO.File]::WriteAllText("$folder\finishing", '')
for ($i = 0; $i -lt 120 -and (Test-Path -LiteralPath $folder); $i++) { Start-Sleep -Seconds 1 }

# What the first boot (first.ps1) has noted. Without that, the machine's user and settings are not the build's, but those
# of the disk that the user of goldsmith has brought.
$noted = 'HKLM:\SOFTWARE\goldsmith'
$before = Get-ItemProperty $noted -ErrorAction SilentlyContinue
$mine = $before.User -and $before.User -eq $a.user
# Gives a value of the registry back what it had, or removes it.
function Restore-Value([string] $key, [string] $name, $value) {
    if ($null -eq $value) { Remove-ItemProperty -Path $key -Name $name -ErrorAction SilentlyContinue }
    else { Set-ItemProperty -Path $key -Name $name -Value $value -Type DWord }
}
# Runs a part, which must not keep the others from running: what it leaves is found below. Its first error ends it.
function Invoke-Part([scriptblock] $work) {
    $ErrorActionPreference = 'Stop'
    try { & $work } catch { [void] $_ }
}
# The service's settings can be changed only while it runs, whatever the template has done with it.
function Restore-Winrm {
    Invoke-Part { if ((Get-Service WinRM).Status -ne 'Running') { Set-Service WinRM -StartupType Manual; Start-Service WinRM } }
    $listener = @{ ResourceURI = 'winrm/config/Listener'; SelectorSet = @{ Address = '*'; Transport = 'HTTPS' } }
    Invoke-Part {
        if ($before.Thumbprint -and (Get-WSManInstance @listener).CertificateThumbprint -eq $before.Thumbprint) {
            Remove-WSManInstance @listener
        }
    }
    Invoke-Part { if ($before.WinrmBasic -eq 'false') { Set-Item WSMan:\localhost\Service\Auth\Basic false -Force } }
    Invoke-Part {
        if ($before.WinrmMemory) {
            Set-Item WSMan:\localhost\Shell\MaxMemoryPerShellMB $before.WinrmMemory -Force -WarningAction SilentlyContinue
        }
    }
}
# What would let others in. Settings that cannot be read count as open.
function Find-Winrm {
    try {
        if ($before.WinrmBasic -eq 'false' -and (Get-Item WSMan:\localhost\Service\Auth\Basic -ErrorAction Stop).Value -ne 'false') {
            'setting Basic of WinRM'
        }
        foreach ($listener in @(Get-WSManInstance -ResourceURI winrm/config/Listener -Enumerate)) {
            if ($before.Thumbprint -and $listener.CertificateThumbprint -eq $before.Thumbprint) { 'HTTPS listener of WinRM' }
        }
    } catch {
        "settings of WinRM, which cannot be read: $($_.Exception.Message -replace '\s+', ' ')"
    }
}
# `start`: how the service starts now. Another way than first.ps1 has set, which is automatically, is the template's.
function Close-Winrm($start) {
    # Ends all sessions of the build user.
    Invoke-Part { Stop-Service WinRM -Force }
    $start = if ($start -eq 2) { $before.WinrmStart } else { @{ 3 = 'demand'; 4 = 'disabled' }[[int] $start] }
    if ($start) { & "$env:SystemRoot\System32\sc.exe" config WinRM start= $start | Out-Null }
    if ($before.Thumbprint) {
        $certificate = "Cert:\LocalMachine\My\$($before.Thumbprint)"
        Invoke-Part { Remove-Item -Path $certificate -DeleteKey -Force }
        # Where Sysprep has made the key unreadable, it cannot be removed together with it.
        Invoke-Part { if (Test-Path $certificate) { Remove-Item -Path $certificate -Force } }
    }
}
function Restore-Ssh {
    Stop-Service sshd -Force -ErrorAction SilentlyContinue
    Get-Process -Name sshd -ErrorAction SilentlyContinue | Stop-Process -Force -ErrorAction SilentlyContinue
    & "$env:SystemRoot\System32\sc.exe" config sshd start= $before.SshdStart | Out-Null
    # The next start makes keys of the host anew.
    Remove-Item -Path "$env:ProgramData\ssh\ssh_host_*", "$env:ProgramData\ssh\administrators_authorized_keys" -Force -ErrorAction SilentlyContinue
}
# The user goes after its profile, which may stay loaded for a while after the last session.
function Remove-User {
    $account = New-Object Security.Principal.NTAccount $a.user
    try { $sid = $account.Translate([Security.Principal.SecurityIdentifier]).Value } catch { return }
    for ($i = 0; $i -lt 30; $i++) {
        $profiles = Get-CimInstance -ClassName Win32_UserProfile -Filter "SID='$sid'" -ErrorAction SilentlyContinue
        if (-not $profiles) { break }
        Invoke-Part { $profiles | Remove-CimInstance -ErrorAction Stop }
        Start-Sleep -Seconds 2
    }
    & "$env:SystemRoot\System32\net.exe" user $a.user /delete 2>&1 | Out-Null
}

$left = @()
if ($before) {
    $start = (Get-ItemProperty 'HKLM:\SYSTEM\CurrentControlSet\Services\WinRM').Start
    Restore-Winrm
    $left += @(Find-Winrm)
    Close-Winrm $start
    if ($before.SshdStart) { Restore-Ssh }
    & "$env:SystemRoot\System32\netsh.exe" advfirewall firewall delete rule name=goldsmith-build | Out-Null
    Restore-Value 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System' LocalAccountTokenFilterPolicy $before.TokenFilter
    Restore-Value 'HKLM:\SYSTEM\CurrentControlSet\Control\BitLocker' PreventDeviceEncryption $before.PreventEncryption
}
Invoke-Part {
    $service = New-Object -ComObject Schedule.Service
    $service.Connect()
    $root = $service.GetFolder('\')
    foreach ($task in @($root.GetTasks(1))) { if ($task.Name -like 'goldsmith-*') { $root.DeleteTask($task.Name, 0) } }
}
if ($mine) { Remove-User }
$files = "$env:SystemDrive\DeprovisioningScript.ps1", "$env:SystemRoot\Temp\goldsmith-*", "$env:ProgramData\goldsmith",
    "$env:SystemRoot\Panther\unattend.xml", "$env:SystemRoot\Panther\Unattend\unattend.xml", "$env:SystemRoot\System32\Sysprep\unattend.xml"
Remove-Item -Path $files -Recurse -Force -ErrorAction SilentlyContinue
Remove-Item -Path $noted -Recurse -Force -ErrorAction SilentlyContinue

foreach ($file in $files) { if (Test-Path -Path $file) { $left += "file $file" } }
if (Test-Path "$env:SystemRoot\System32\Tasks\goldsmith-*") { $left += 'scheduled task goldsmith-*' }
if (Test-Path $noted) { $left += "registry key $noted" }
if ($before.Thumbprint -and (Test-Path "Cert:\LocalMachine\My\$($before.Thumbprint)")) { $left += "certificate $($before.Thumbprint)" }
if ($mine) {
    & "$env:SystemRoot\System32\net.exe" user $a.user 2>&1 | Out-Null
    if ($LASTEXITCODE -eq 0) { $left += "user $($a.user)" }
    if (Test-Path "$env:SystemDrive\Users\$($a.user)") { $left += "folder $env:SystemDrive\Users\$($a.user)" }
}
& "$env:SystemRoot\System32\netsh.exe" advfirewall firewall show rule name=goldsmith-build | Out-Null
if ($LASTEXITCODE -eq 0) { $left += 'firewall rule goldsmith-build' }

$text = if ($left) { "leftover $($left -join '; ')" } else { 'generalized' }
foreach ($name in 'COM2', 'COM1') {
    Invoke-Part {
        $port = New-Object IO.Ports.SerialPort $name, 115200
        $port.WriteTimeout = 5000
        $port.Open()
        $port.Write("`r`ngoldsmith $($a.mark) $text`r`n")
        $port.BaseStream.Flush()
        $port.Dispose()
    }
}
if ($left) { exit 1 }
& "$env:SystemRoot\System32\shutdown.exe" /s /f /t 2 /c 'image build'
exit 0
