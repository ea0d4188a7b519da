# goldsmith: trial-guest
# Tells what this Windows is.
$ErrorActionPreference = 'Stop'
$windows = Get-ItemProperty -LiteralPath 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion'
"trial product $($windows.ProductName)"
"trial build $($windows.CurrentBuildNumber).$($windows.UBR)"
"trial edition $($windows.EditionID)"
"trial installation $($windows.InstallationType)"
"trial powershell $($PSVersionTable.PSVersion)"
"trial architecture $env:PROCESSOR_ARCHITECTURE"
"trial culture $([Globalization.CultureInfo]::CurrentCulture.Name)"
"trial timezone $([TimeZoneInfo]::Local.Id)"
