# goldsmith: extend
# Gives the system's partition the free space behind it. What is in the way, such as a recovery partition, stays.
#
# Answers: extended, or: kept WHY (base64)
param($a, $lines)
$ErrorActionPreference = 'Stop'
try {
    Update-HostStorageCache
    $partition = Get-Partition -DriveLetter $env:SystemDrive.Substring(0, 1)
    $most = (Get-PartitionSupportedSize -DiskNumber $partition.DiskNumber -PartitionNumber $partition.PartitionNumber).SizeMax
    if (($most - $partition.Size) -lt 16777216) { Write-Text kept 'there is no free space behind it'; exit 0 }
    Resize-Partition -DiskNumber $partition.DiskNumber -PartitionNumber $partition.PartitionNumber -Size $most
    Write-Answer extended
} catch {
    Write-Text kept $_.Exception.Message
}
exit 0
