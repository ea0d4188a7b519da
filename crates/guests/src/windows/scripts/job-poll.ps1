# goldsmith: job-poll
# Says what is new of a job (see job-start): its output from an offset on, and whether it has ended. Waits for news.
#
# Arguments: id; offset, in bytes; limit, the most bytes to answer; seconds, for how long to wait.
# Answers: output OFFSET BYTES (base64), if there is any; then one of
#   running
#   ended CODE     the exit code, as a number without sign; all of the output has been answered
#   lost WHY       (base64) it did not end by itself: the machine restarted, or the job was ended
#   unknown        there is no such job
param($a, $lines)
$ErrorActionPreference = 'Stop'
# The task's state: 2 queued, 4 running; the others are of a task that has ended or never ran.
function Test-Running {
    try {
        $service = New-Object -ComObject Schedule.Service
        $service.Connect()
        (2, 4) -contains $service.GetFolder('\').GetTask("goldsmith-$($a.id)").State
    } catch {
        $false
    }
}
# The new bytes, whatever the job is writing at the moment.
function Read-Output {
    if (-not [IO.File]::Exists("$folder\output")) { return }
    $file = [IO.File]::Open("$folder\output", [IO.FileMode]::Open, [IO.FileAccess]::Read, [IO.FileShare] 'ReadWrite, Delete')
    try {
        if ($file.Length -le $a.offset) { return }
        [void] $file.Seek($a.offset, [IO.SeekOrigin]::Begin)
        $bytes = New-Object byte[] ([int] [Math]::Min([long] $a.limit, $file.Length - $a.offset))
        $count = $file.Read($bytes, 0, $bytes.Length)
        [Convert]::ToBase64String($bytes, 0, $count)
    } finally {
        $file.Dispose()
    }
}
$folder = "$env:SystemRoot\Temp\goldsmith-$($a.id)"
if (-not (Test-Path -LiteralPath "$folder\boot")) { Write-Answer unknown; exit 0 }
$clock = [Diagnostics.Stopwatch]::StartNew()
$idle = 0
while ($true) {
    # In this order, so that no output comes after the end.
    $ended = Test-Path -LiteralPath "$folder\exit"
    $output = Read-Output
    if ($output) {
        Write-Answer "output $($a.offset) $output"
        Write-Answer running
        exit 0
    }
    if ($ended) {
        $code = [int] ([IO.File]::ReadAllText("$folder\exit").Trim())
        Write-Answer "ended $([BitConverter]::ToUInt32([BitConverter]::GetBytes($code), 0))"
        exit 0
    }
    if ([IO.File]::ReadAllText("$folder\boot") -ne (Get-BootId)) {
        Write-Text lost 'the machine restarted while it ran'
        exit 0
    }
    # A task that has just been started, or is about to write its exit code, is given some seconds.
    if (Test-Running) { $idle = 0 } else { $idle++ }
    if ($idle -gt 10) { Write-Text lost 'its process was ended'; exit 0 }
    # As long as it is not known to run, another second.
    if ($clock.Elapsed.TotalSeconds -ge $a.seconds -and $idle -eq 0) { break }
    Start-Sleep -Seconds 1
}
Write-Answer running
exit 0
