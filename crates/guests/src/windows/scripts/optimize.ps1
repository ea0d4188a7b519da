# goldsmith: optimize
# Makes the image smaller and its machines start sooner, whatever they run on. As a job of SYSTEM, after all customizers.
# Each part says what it did; one that fails is reported and leaves things as they are.
#
# Not touched: services, scheduled tasks, drivers, installed programs, the user's files, the page file, event logs.
$ProgressPreference = 'SilentlyContinue'
function Write-Done([string] $what) { [Console]::Out.WriteLine("optimize: $what") }
function Invoke-Part([string] $what, [scriptblock] $work) {
    try { & $work; Write-Done $what }
    catch { Write-Done "warning: $what did not work: $($_.Exception.Message)" }
}
# Superseded versions of components. Not /ResetBase: the installed updates can still be uninstalled.
Invoke-Part 'superseded components are removed' {
    & "$env:SystemRoot\System32\Dism.exe" /Online /Cleanup-Image /StartComponentCleanup /Quiet /NoRestart
    # 3010: done, and a restart completes it.
    if ((0, 3010) -notcontains $LASTEXITCODE) { throw "DISM exited with code $LASTEXITCODE" }
}
# Downloads that are installed.
Invoke-Part 'downloaded updates are removed' {
    $services = @('wuauserv', 'bits' | ForEach-Object { Get-Service -Name $_ -ErrorAction SilentlyContinue } | Where-Object { $_.Status -eq 'Running' })
    $services | Stop-Service -Force -ErrorAction Stop
    try { Get-ChildItem -LiteralPath "$env:SystemRoot\SoftwareDistribution\Download" -Force -ErrorAction SilentlyContinue | Remove-Item -Recurse -Force -ErrorAction SilentlyContinue }
    finally { $services | Start-Service -ErrorAction SilentlyContinue }
}
# Compiles what the first machine would compile when it is idle.
Invoke-Part 'the queue of .NET compilations is done' {
    foreach ($ngen in Get-ChildItem -Path "$env:SystemRoot\Microsoft.NET\Framework*\v4*\ngen.exe" -ErrorAction SilentlyContinue) {
        & $ngen.FullName executeQueuedItems /nologo /silent | Out-Null
    }
}
# Space that is free in the volumes is free in the image.
Invoke-Part 'free space is given back' {
    foreach ($volume in Get-Volume | Where-Object { $_.DriveType -eq 'Fixed' -and $_.DriveLetter -and $_.FileSystem -eq 'NTFS' }) {
        Optimize-Volume -DriveLetter $volume.DriveLetter -ReTrim -ErrorAction Stop
    }
}
exit 0
