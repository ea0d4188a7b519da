# goldsmith: first
# The first boot of a build machine: lets goldsmith in. It is on a CD, beside goldsmith.json with what differs between
# machines: nonce, user, password, and keys for SSH. All that is changed here is noted in HKLM\SOFTWARE\goldsmith and
# taken back by finish.ps1.
#
#   specialize   (Windows Setup runs it as SYSTEM, or cloudbase-init) makes the build user, and a task that runs `open` at every start
#   open         waits for the end of Setup, sets up WinRM over HTTPS, and SSH where Windows has it, and opens the ports
#
# What it does it tells on the serial ports, each line as: goldsmith NONCE WORD REST. The words: step TEXT; failed TEXT;
# door winrm, or: door ssh; last: certificate SHA-256.
# COM2 as well as COM1, since images of Azure have a console of Windows' own on COM1.
param([string] $Stage = 'specialize')
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$tools = "$env:SystemRoot\System32"
$noted = 'HKLM:\SOFTWARE\goldsmith'
$place = "$env:ProgramData\goldsmith"
$settings = $null
$again = Test-Path $noted

function Write-Line([string] $text) {
    foreach ($name in 'COM2', 'COM1') {
        try {
            $port = New-Object IO.Ports.SerialPort $name, 115200
            $port.WriteTimeout = 5000
            $port.Open()
            $port.Write("`r`ngoldsmith $($settings.nonce) $text`r`n")
            $port.BaseStream.Flush()
            $port.Dispose()
        } catch { [void] $_ }
    }
}
# The settings, from whatever letter the CD has. Its drive may come late.
function Read-Settings {
    for ($i = 0; $i -lt 60; $i++) {
        foreach ($drive in [IO.DriveInfo]::GetDrives()) {
            $file = "$($drive.Name)goldsmith.json"
            if ($drive.IsReady -and [IO.File]::Exists($file)) { return ConvertFrom-Json ([IO.File]::ReadAllText($file)) }
        }
        Start-Sleep -Seconds 1
    }
}
# Notes what a setting was before, once.
function Save-Note([string] $name, $value) {
    if (-not (Test-Path $noted)) { [void] (New-Item -Path $noted -Force) }
    if ($null -ne $value -and $null -eq (Get-ItemProperty $noted).$name) { Set-ItemProperty -Path $noted -Name $name -Value $value }
}
# Sets a value of the registry. When all this runs for the second time, what is there is goldsmith's.
function Set-Noted([string] $key, [string] $name, [int] $value, [string] $note) {
    if (-not (Test-Path $key)) { [void] (New-Item -Path $key -Force) }
    if (-not $again) { Save-Note $note (Get-ItemProperty $key).$name }
    Set-ItemProperty -Path $key -Name $name -Value $value -Type DWord
}
# How a service starts, in the words of sc.exe.
function Get-Start([string] $service) {
    $key = Get-ItemProperty "HKLM:\SYSTEM\CurrentControlSet\Services\$service"
    if ($key.Start -eq 2 -and $key.DelayedAutostart -eq 1) { return 'delayed-auto' }
    @{ 2 = 'auto'; 3 = 'demand'; 4 = 'disabled' }[[int] $key.Start]
}
function Set-User {
    if (Get-Command New-LocalUser -ErrorAction SilentlyContinue) {
        $secret = ConvertTo-SecureString $settings.password -AsPlainText -Force
        if (Get-LocalUser -Name $settings.user -ErrorAction SilentlyContinue) {
            Set-LocalUser -Name $settings.user -Password $secret -PasswordNeverExpires $true
        } else {
            [void] (New-LocalUser -Name $settings.user -Password $secret -PasswordNeverExpires -AccountNeverExpires)
            Save-Note User $settings.user
        }
        # By its number, since the group's name depends on the language.
        try { Add-LocalGroupMember -SID 'S-1-5-32-544' -Member $settings.user } catch { if (-not $again) { throw } }
        return
    }
    # Windows Server 2012 R2.
    $computer = [ADSI] "WinNT://$env:COMPUTERNAME"
    $known = @($computer.Children | Where-Object { $_.SchemaClassName -eq 'User' -and $_.Name -eq $settings.user })
    $user = if ($known) { $known[0] } else { $computer.Create('User', $settings.user) }
    $user.SetPassword($settings.password)
    $user.SetInfo()
    # A usual user, whose password does not expire.
    $user.Put('UserFlags', 0x10201)
    $user.SetInfo()
    if (-not $known) { Save-Note User $settings.user }
    $sid = New-Object Security.Principal.SecurityIdentifier 'S-1-5-32-544'
    $group = $sid.Translate([Security.Principal.NTAccount]).Value.Split('\')[1]
    try { ([ADSI] "WinNT://$env:COMPUTERNAME/$group,group").Add("WinNT://$env:COMPUTERNAME/$($settings.user),user") }
    catch { if (-not $known) { throw } }
}
function Set-Task {
    [void] (New-Item -ItemType Directory -Path $place -Force)
    Copy-Item -LiteralPath $PSCommandPath -Destination "$place\first.ps1" -Force
    Set-ItemProperty -LiteralPath "$place\first.ps1" -Name IsReadOnly -Value $false
    $service = New-Object -ComObject Schedule.Service
    $service.Connect()
    $task = $service.NewTask(0)
    $task.Settings.ExecutionTimeLimit = 'PT0S'
    $task.Settings.DisallowStartIfOnBatteries = $false
    $task.Settings.StopIfGoingOnBatteries = $false
    # 8: at every start of the machine.
    [void] $task.Triggers.Create(8)
    $action = $task.Actions.Create(0)
    $action.Path = "$tools\WindowsPowerShell\v1.0\powershell.exe"
    $action.Arguments = "-NoProfile -NonInteractive -ExecutionPolicy Bypass -File `"$place\first.ps1`" -Stage open"
    $registered = $service.GetFolder('\').RegisterTaskDefinition('goldsmith-first', $task, 6, 'SYSTEM', $null, 5)
    # For where no restart lies between specialize and the end of Setup. Otherwise the machine's start is enough.
    try { [void] $registered.Run($null) }
    catch { Write-Line "step waits for a restart: $($_.Exception.GetBaseException().Message)" }
}
function Invoke-Specialize {
    Write-Line 'step makes the build user'
    Set-User
    # Without it, other administrators than the first have no rights over the network.
    Set-Noted 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System' LocalAccountTokenFilterPolicy 1 TokenFilter
    # Sysprep refuses encrypted disks.
    Set-Noted 'HKLM:\SYSTEM\CurrentControlSet\Control\BitLocker' PreventDeviceEncryption 1 PreventEncryption
    # A shutdown that hibernates leaves volumes in a state that nobody else can read.
    & "$tools\powercfg.exe" /hibernate off
    Set-Task
    Write-Line 'step the build user is there'
}
function Wait-Setup {
    $key = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Setup\State'
    $clock = [Diagnostics.Stopwatch]::StartNew()
    $last = ''
    while ($true) {
        $state = (Get-ItemProperty $key).ImageState
        if ($state -eq 'IMAGE_STATE_COMPLETE') { return }
        if ($state -ne $last) { Write-Line "step waits for Setup ($state)"; $last = $state }
        if ($clock.Elapsed.TotalHours -gt 3) { throw "Setup did not end within 3 hours; the state of the image is $state" }
        Start-Sleep -Seconds 2
    }
}
function Set-Certificate {
    $known = (Get-ItemProperty $noted -ErrorAction SilentlyContinue).Thumbprint
    if ($known -and (Test-Path "Cert:\LocalMachine\My\$known")) { return Get-Item "Cert:\LocalMachine\My\$known" }
    $made = New-SelfSignedCertificate -DnsName $env:COMPUTERNAME -CertStoreLocation Cert:\LocalMachine\My
    Save-Note Thumbprint $made.Thumbprint
    $made
}
function Set-Winrm {
    Save-Note WinrmStart (Get-Start WinRM)
    # Delayed: WinRM that starts with the machine was seen to fail.
    & "$tools\sc.exe" config WinRM start= delayed-auto | Out-Null
    Start-Service WinRM
    Save-Note WinrmBasic (Get-Item WSMan:\localhost\Service\Auth\Basic).Value
    Save-Note WinrmMemory (Get-Item WSMan:\localhost\Shell\MaxMemoryPerShellMB).Value
    Set-Item WSMan:\localhost\Service\Auth\Basic true -Force
    # Installers need more than the gigabyte of a remote shell.
    try { Set-Item WSMan:\localhost\Shell\MaxMemoryPerShellMB 0 -Force -WarningAction SilentlyContinue }
    catch { Write-Line "step the memory of remote shells keeps its limit: $($_.Exception.GetBaseException().Message)" }
    $certificate = Set-Certificate
    $listener = @{ ResourceURI = 'winrm/config/Listener'; SelectorSet = @{ Address = '*'; Transport = 'HTTPS' } }
    $known = try { Get-WSManInstance @listener } catch { $null }
    if ($known -and $known.CertificateThumbprint -ne $certificate.Thumbprint) {
        Remove-WSManInstance @listener
        $known = $null
    }
    $values = @{ Hostname = $env:COMPUTERNAME; CertificateThumbprint = $certificate.Thumbprint }
    if (-not $known) { [void] (New-WSManInstance @listener -ValueSet $values) }
    $certificate
}
# True when SSH lets goldsmith in. Keys of the host are goldsmith's: they must be there before the service starts.
function Set-Ssh {
    if (-not (Get-Service sshd -ErrorAction SilentlyContinue)) { return $false }
    $folder = "$env:ProgramData\ssh"
    # Keys of administrators that the image has brought stay what they are: WinRM is the door then.
    if (-not (Get-ItemProperty $noted).SshdStart -and (Test-Path "$folder\administrators_authorized_keys")) { return $false }
    Save-Note SshdStart (Get-Start sshd)
    # At a later boot somebody may be connected already.
    if ((Get-ItemProperty $noted).Door -eq 'ssh' -and (Get-Service sshd).Status -eq 'Running') { return $true }
    Stop-Service sshd -Force -ErrorAction SilentlyContinue
    [void] (New-Item -ItemType Directory -Path $folder -Force)
    Remove-Item -Path "$folder\ssh_host_*" -Force -ErrorAction SilentlyContinue
    $files = @{
        'ssh_host_ed25519_key' = $settings.host_private_key
        'ssh_host_ed25519_key.pub' = $settings.host_public_key
        'administrators_authorized_keys' = $settings.public_key
    }
    # Open to SYSTEM and administrators alone, or sshd does not use them.
    $rules = New-Object Security.AccessControl.FileSecurity
    $rules.SetSecurityDescriptorSddlForm('D:P(A;;FA;;;SY)(A;;FA;;;BA)', 'Access')
    foreach ($name in $files.Keys) {
        [IO.File]::WriteAllText("$folder\$name", $files[$name].Trim().Replace("`r`n", "`n") + "`n")
        [IO.File]::SetAccessControl("$folder\$name", $rules)
    }
    & "$tools\sc.exe" config sshd start= auto | Out-Null
    Start-Service sshd
    $true
}
function Invoke-Open {
    Wait-Setup
    Write-Line 'step sets up WinRM'
    $certificate = Set-Winrm
    $door = 'winrm'
    try { if (Set-Ssh) { $door = 'ssh' } }
    catch { Write-Line "step SSH cannot be used: $($_.Exception.GetBaseException().Message)" }
    # Windows Server 2012 R2 and before.
    if ($door -eq 'winrm' -and [Environment]::OSVersion.Version.Build -lt 10240) {
        Write-Line 'step this Windows may have no cipher in common with goldsmith for HTTPS: an image with OpenSSH has another door'
    }
    & "$tools\netsh.exe" advfirewall firewall show rule name=goldsmith-build | Out-Null
    if ($LASTEXITCODE -ne 0) {
        $rule = 'name=goldsmith-build', 'dir=in', 'action=allow', 'protocol=TCP', 'localport=22,5986', 'profile=any'
        & "$tools\netsh.exe" advfirewall firewall add rule $rule | Out-Null
        if ($LASTEXITCODE -ne 0) { throw "the firewall did not take the build's rule: netsh exited with $LASTEXITCODE" }
    }
    Save-Note Door $door
    Write-Line "door $door"
    $hash = [Security.Cryptography.SHA256]::Create().ComputeHash($certificate.RawData)
    Write-Line "certificate $([BitConverter]::ToString($hash).Replace('-', '').ToLowerInvariant())"
}

try {
    $settings = Read-Settings
    # The machine of an image's user, which must not wait.
    if (-not $settings) { exit 0 }
    if ($Stage -eq 'open') { Invoke-Open } else { Invoke-Specialize }
} catch {
    $text = "$Stage, line $($_.InvocationInfo.ScriptLineNumber): $($_.Exception.GetBaseException().Message)"
    Write-Line "failed $($text -replace '\s+', ' ')"
}
# Setup gives up on a command that fails; what failed has been told.
exit 0
