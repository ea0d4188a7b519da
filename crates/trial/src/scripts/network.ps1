# goldsmith: trial-network
# Tells the network cards that are up, their drivers, and the profile of the network.
$ErrorActionPreference = 'Stop'
foreach ($card in Get-NetAdapter -Physical | Where-Object Status -eq 'Up') {
    "trial card $($card.PnPDeviceID)"
    "trial description $($card.InterfaceDescription)"
    "trial driver $($card.DriverProvider) $($card.DriverFileName) $($card.DriverVersion)"
    "trial speed $($card.LinkSpeed)"
}
foreach ($network in Get-NetConnectionProfile) {
    "trial profile $($network.NetworkCategory)"
}
