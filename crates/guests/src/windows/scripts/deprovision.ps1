# goldsmith: deprovision
# Puts C:\DeprovisioningScript.ps1 where the template's scripts expect it, unless there is one already. Templates change
# Sysprep's options by replacing text in its line with Sysprep.exe, so that this line must stay exactly as it is.
#
# Answers: placed, or: there
param($a, $lines)
$ErrorActionPreference = 'Stop'
$path = "$env:SystemDrive\DeprovisioningScript.ps1"
if (Test-Path -LiteralPath $path) { Write-Answer there; exit 0 }
$text = @'
foreach ($name in 'RdAgent', 'WindowsAzureTelemetryService', 'WindowsAzureGuestAgent') {
    if (Get-Service -Name $name -ErrorAction SilentlyContinue) {
        Write-Output ">>> Waiting for service $name to start ..."
        for ($i = 0; $i -lt 60 -and (Get-Service -Name $name).Status -ne 'Running'; $i++) { Start-Sleep -s 5 }
    }
}
Write-Output '>>> Sysprepping VM ...'
foreach ($file in "$Env:SystemRoot\System32\Sysprep\unattend.xml", "$Env:SystemRoot\Panther\unattend.xml") {
    if (Test-Path $file) { Remove-Item $file -Force }
}
& $Env:SystemRoot\System32\Sysprep\Sysprep.exe /oobe /generalize /quiet /quit
while($true) {
    $imageState = (Get-ItemProperty HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Setup\State).ImageState
    Write-Output $imageState
    if ($imageState -eq 'IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE') { break }
    Start-Sleep -s 5
}
Write-Output '>>> Sysprep complete ...'
'@
[IO.File]::WriteAllText($path, $text.Replace("`r`n", "`n").Replace("`n", "`r`n"), [Text.Encoding]::ASCII)
Write-Answer placed
exit 0
