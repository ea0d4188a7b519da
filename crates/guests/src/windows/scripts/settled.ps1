# goldsmith: settled
# Looks once a second whether Windows still works on its own installation: setup, servicing of components, what is left
# of an update. Ends at the first look that finds something, or when nothing was found for a while.
#
# Arguments: seconds, for how long nothing must be found.
# Answers: boot ID, then settled, or: busy REASONS (base64), or: incomplete STATE (base64) while setup runs.
param($a, $lines)
$ErrorActionPreference = 'Stop'
$setup = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Setup\State'
$servicing = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing'
Write-Answer "boot $(Get-BootId)"
for ($look = 0; $look -le $a.seconds; $look++) {
    if ($look -gt 0) { Start-Sleep -Seconds 1 }
    $state = (Get-ItemProperty $setup).ImageState
    if ($state -ne 'IMAGE_STATE_COMPLETE') { Write-Text incomplete $state; exit 0 }
    $reasons = @()
    foreach ($name in 'RebootInProgress', 'PackagesPending', 'RebootPending') {
        if (Test-Path "$servicing\$name") { $reasons += "servicing says $name" }
    }
    if (Get-Process -Name TiWorker -ErrorAction SilentlyContinue) { $reasons += 'TiWorker.exe runs' }
    if ($reasons) { Write-Text busy ($reasons -join ', '); exit 0 }
}
Write-Answer settled
exit 0
