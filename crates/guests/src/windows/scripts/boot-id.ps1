# goldsmith: boot-id
# Says which boot this is.
#
# Answers: boot ID
param($a, $lines)
$ErrorActionPreference = 'Stop'
Write-Answer "boot $(Get-BootId)"
exit 0
