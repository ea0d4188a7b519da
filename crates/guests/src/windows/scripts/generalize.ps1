# goldsmith: generalize
# Runs C:\DeprovisioningScript.ps1, which calls Sysprep, as a job of SYSTEM, and watches it: when Sysprep refuses, a
# script that waits for the state of the image waits for ever. Then leaves a process behind (finish.ps1) that removes
# the build's own traces once nobody is connected any more, and shuts down.
#
# Arguments (arguments.json): mark; user, the build user; finish, the text of finish.ps1.
# Answers, among the output: sealed, or: failed WHY (base64)
# Exit code: 0 sealed; 1 failed.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$a = ConvertFrom-Json ([IO.File]::ReadAllText("$PSScriptRoot\arguments.json"))
$path = "$env:SystemDrive\DeprovisioningScript.ps1"
$sealed = 'IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE'
$shell = "$env:SystemRoot\System32\WindowsPowerShell\v1.0\powershell.exe"
# What Sysprep says of its refusal, before the reason that goldsmith gives.
function Write-Failed([string] $why) {
    foreach ($log in "$env:SystemRoot\System32\Sysprep\Panther\setuperr.log", "$env:SystemRoot\Panther\setuperr.log") {
        if (-not (Test-Path -LiteralPath $log)) { continue }
        foreach ($line in Get-Content -LiteralPath $log -Tail 15) { [Console]::Out.WriteLine("setuperr.log: $line") }
    }
    [Console]::Out.WriteLine("$($a.mark) failed $([Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($why)))")
    exit 1
}
function Get-ImageState { (Get-ItemProperty 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Setup\State').ImageState }
function Wait-Script($process) {
    $clock = [Diagnostics.Stopwatch]::StartNew()
    $seen = $false
    $without = $null
    # Often at first: a Sysprep that refuses at once is there for a moment only.
    $pause = 100
    while (-not $process.WaitForExit($pause)) {
        if (Get-Process -Name sysprep -ErrorAction SilentlyContinue) {
            $seen = $true
            $pause = 2000
            $without = $null
        } elseif ($seen -and (Get-ImageState) -ne $sealed) {
            if ($null -eq $without) { $without = [Diagnostics.Stopwatch]::StartNew() }
            if ($without.Elapsed.TotalSeconds -gt 60) {
                return "Sysprep has ended without generalizing: the state of the image is $(Get-ImageState)"
            }
        }
        if ($clock.Elapsed.TotalMinutes -gt 90) { return "$path did not end within 90 minutes" }
    }
}
try {
    if (-not (Test-Path -LiteralPath $path)) { Write-Failed "Deprovisioning script [$path] could not be found" }
    # What failed before would otherwise pass for a refusal of today.
    Remove-Item -Path "$env:SystemRoot\System32\Sysprep\Panther\setuperr.log" -Force -ErrorAction SilentlyContinue
    [Console]::Out.WriteLine("running ${path}:")
    foreach ($line in Get-Content -LiteralPath $path) { [Console]::Out.WriteLine($line) }
    $options = "-NonInteractive -ExecutionPolicy Bypass -OutputFormat Text -File `"$path`""
    $process = Start-Process -FilePath $shell -ArgumentList $options -NoNewWindow -PassThru
    # The process's exit code is known only to those who have asked for its handle.
    [void] $process.Handle
    $why = Wait-Script $process
    if ($why) {
        & "$env:SystemRoot\System32\taskkill.exe" /f /t /pid $process.Id | Out-Null
        Write-Failed $why
    }
    # A script that does not wait for Sysprep.
    $clock = [Diagnostics.Stopwatch]::StartNew()
    while ((Get-Process -Name sysprep -ErrorAction SilentlyContinue) -and $clock.Elapsed.TotalMinutes -lt 90) {
        Start-Sleep -Seconds 2
    }
    if ($process.ExitCode -ne 0) { Write-Failed "$path exited with code $($process.ExitCode)" }
    if ((Get-ImageState) -ne $sealed) { Write-Failed "$path has ended, and the state of the image is $(Get-ImageState)" }

    # A process of the management service's: it outlives this job, and has its text in memory when the folder goes.
    [IO.File]::WriteAllText("$PSScriptRoot\finish.ps1", $a.finish)
    $command = "& ([ScriptBlock]::Create([IO.File]::ReadAllText('$PSScriptRoot\finish.ps1'))) '$PSScriptRoot'"
    $encoded = [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($command))
    $line = "`"$shell`" -NoProfile -NonInteractive -ExecutionPolicy Bypass -EncodedCommand $encoded"
    $made = Invoke-CimMethod -ClassName Win32_Process -MethodName Create -Arguments @{ CommandLine = $line }
    if ($made.ReturnValue -ne 0) { Write-Failed "the process that ends the build did not start: result $($made.ReturnValue)" }
    for ($i = 0; -not (Test-Path -LiteralPath "$PSScriptRoot\finishing"); $i++) {
        if ($i -gt 120) { Write-Failed 'the process that ends the build does not answer' }
        Start-Sleep -Seconds 1
    }
} catch {
    Write-Failed ($_.Exception.GetBaseException().Message)
}
[Console]::Out.WriteLine("$($a.mark) sealed")
exit 0
