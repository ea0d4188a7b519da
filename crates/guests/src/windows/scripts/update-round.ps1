# goldsmith: update-round
# One round of Windows Update, as a job of SYSTEM: the update service refuses remote sessions. Searches, chooses,
# downloads and installs. What it installed may bring new updates, so that the caller restarts the machine and comes
# back until nothing is left.
#
# Arguments (arguments.json): mark; criteria for the search; filters, each `include:` or `exclude:` and an expression
# over $_, of which the first that holds decides, and an update that none of them includes is left out; without filters
# all are taken; limit, the most updates of a round.
# Answers, among the output: found NUMBER; update TITLE (base64), for each; installed NUMBER failed NUMBER.
# Exit code: 0 nothing is left to install; 101 restart, then come back; 1 it failed.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$a = ConvertFrom-Json ([IO.File]::ReadAllText("$PSScriptRoot\arguments.json"))
function Write-Update([string] $title) {
    [Console]::Out.WriteLine("$($a.mark) update $([Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($title)))")
}
# Installing on top of a pending restart fails with 0x80240016.
function Test-RestartPending {
    (New-Object -ComObject Microsoft.Update.SystemInfo).RebootRequired -or
        (Test-Path 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\PackagesPending')
}
# Tries again for a while: the service may be starting, or busy with a search of its own.
function Invoke-Again([string] $what, [scriptblock] $work) {
    $clock = [Diagnostics.Stopwatch]::StartNew()
    while ($true) {
        try { return & $work }
        catch {
            $why = '{0} (0x{1:X8})' -f $_.Exception.GetBaseException().Message, $_.Exception.GetBaseException().HResult
            if ($clock.Elapsed.TotalMinutes -gt 30) { throw "$what failed for 30 minutes: $why" }
            [Console]::Out.WriteLine("$what failed, trying again: $why")
            Start-Sleep -Seconds 15
        }
    }
}
function Test-Chosen($update) {
    if (-not $filters) { return $true }
    foreach ($filter in $filters) {
        if ($update | Where-Object $filter.Expression) { return $filter.Includes }
    }
    $false
}
if (Test-RestartPending) { [Console]::Out.WriteLine('a restart is pending'); exit 101 }
$filters = @(foreach ($text in $a.filters) {
    $kind, $expression = $text -split ':', 2
    @{ Includes = $kind -eq 'include'; Expression = [scriptblock]::Create($expression) }
})
$session = New-Object -ComObject Microsoft.Update.Session
$session.ClientApplicationID = 'goldsmith'
$searcher = $session.CreateUpdateSearcher()
$found = Invoke-Again 'the search for updates' { $searcher.Search($a.criteria) }
$chosen = New-Object -ComObject Microsoft.Update.UpdateColl
foreach ($update in $found.Updates) {
    if ($update.InstallationBehavior.CanRequestUserInput) {
        [Console]::Out.WriteLine("left out, as it may ask for input: $($update.Title)")
        continue
    }
    if (-not (Test-Chosen $update)) { continue }
    if ($chosen.Count -ge $a.limit) { break }
    if (-not $update.EulaAccepted) { $update.AcceptEula() }
    [void] $chosen.Add($update)
    Write-Update $update.Title
}
[Console]::Out.WriteLine("$($a.mark) found $($chosen.Count)")
if ($chosen.Count -eq 0) { exit 0 }

$missing = New-Object -ComObject Microsoft.Update.UpdateColl
foreach ($update in $chosen) { if (-not $update.IsDownloaded) { [void] $missing.Add($update) } }
if ($missing.Count -gt 0) {
    $downloader = $session.CreateUpdateDownloader()
    $downloader.Updates = $missing
    # 2: succeeded; 3: with errors, so that a part is there, and the rest has its turn in the next round.
    Invoke-Again 'the download of updates' {
        $result = $downloader.Download()
        if ((2, 3) -notcontains $result.ResultCode) { throw "the download ended with result $($result.ResultCode)" }
    }
}
$ready = New-Object -ComObject Microsoft.Update.UpdateColl
foreach ($update in $chosen) { if ($update.IsDownloaded) { [void] $ready.Add($update) } }
$installed = 0
if ($ready.Count -gt 0) {
    $installer = $session.CreateUpdateInstaller()
    $installer.Updates = $ready
    $result = $installer.Install()
    for ($i = 0; $i -lt $ready.Count; $i++) {
        $one = $result.GetUpdateResult($i)
        if ((2, 3) -contains $one.ResultCode) { $installed++; continue }
        [Console]::Out.WriteLine(('not installed: {0} (result {1}, 0x{2:X8})' -f $ready.Item($i).Title, $one.ResultCode, $one.HResult))
    }
}
[Console]::Out.WriteLine("$($a.mark) installed $installed failed $($chosen.Count - $installed)")
exit 101
