# goldsmith: address
# Waits until the network card with that hardware address has an IPv4 address from the network, or has lost it. The
# addresses that Windows gives itself (169.254) do not count.
#
# Arguments: mac, with colons; wait, `there` or `gone`; seconds, for how long.
# Answers: yes, or no when the time is over
param($a, $lines)
$ErrorActionPreference = 'Stop'
$mac = $a.mac.Replace(':', '-')
$clock = [Diagnostics.Stopwatch]::StartNew()
do {
    $card = @(Get-NetAdapter -ErrorAction SilentlyContinue | Where-Object { $_.MacAddress -eq $mac -and $_.Status -eq 'Up' })
    $addresses = @($card | ForEach-Object {
        Get-NetIPAddress -InterfaceIndex $_.ifIndex -AddressFamily IPv4 -ErrorAction SilentlyContinue
    } | Where-Object { $_.IPAddress -notlike '169.254.*' -and $_.AddressState -eq 'Preferred' })
    $found = $addresses.Count -gt 0
    if ($found -eq ($a.wait -eq 'there')) {
        Write-Answer yes
        exit 0
    }
    Start-Sleep -Milliseconds 200
} while ($clock.Elapsed.TotalSeconds -lt $a.seconds)
Write-Answer no
exit 0
