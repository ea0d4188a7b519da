# goldsmith: job-start
# Starts a script as a scheduled task, apart from this connection: with all rights of its user, outside the limits of a
# remote shell, and with its output in a file, so that nothing is lost when the connection breaks. The job's folder is
# C:\Windows\Temp\goldsmith-<id>, for administrators alone:
#   job.cmd, launch.ps1, script.ps1, arguments.json   what runs, in this order
#   boot     the boot in which it started
#   output   standard output and error, in UTF-8
#   exit     its exit code, once it has ended
#
# Arguments: id; user, SYSTEM or a local user; password, that user's, or null; launch and batch, the texts of launch.ps1
# and job.cmd; arguments, text for the script, which is JSON, or null.
# Data: the script.
# Answers: boot ID, then started; or: failed WHY (base64). A job that is there already is not started again.
# Exit code 90: the input ended too early.
param($a, $lines)
$ErrorActionPreference = 'Stop'
function Write-Failed([string] $why) { Write-Text failed $why; exit 0 }
$folder = "$env:SystemRoot\Temp\goldsmith-$($a.id)"
$name = "goldsmith-$($a.id)"
Write-Answer "boot $(Get-BootId)"
if (Test-Path -LiteralPath "$folder\boot") { Write-Answer started; exit 0 }
try {
    if (Test-Path -LiteralPath $folder) { Remove-Item -LiteralPath $folder -Recurse -Force }
    $rules = New-Object Security.AccessControl.DirectorySecurity
    $rules.SetSecurityDescriptorSddlForm('D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)', 'Access')
    [void] (New-Item -ItemType Directory -Path $folder)
    (Get-Item -LiteralPath $folder).SetAccessControl($rules)
    $file = [IO.File]::Create("$folder\script.ps1")
    $whole = $false
    while ($lines.MoveNext()) {
        if ($lines.Current -eq '.') { $whole = $true; break }
        $bytes = [Convert]::FromBase64String($lines.Current)
        $file.Write($bytes, 0, $bytes.Length)
    }
    $file.Dispose()
    if (-not $whole) { Remove-Item -LiteralPath $folder -Recurse -Force; exit 90 }
    if ($null -ne $a.arguments) {
        [IO.File]::WriteAllText("$folder\arguments.json", $a.arguments)
    }
    [IO.File]::WriteAllText("$folder\launch.ps1", $a.launch)
    [IO.File]::WriteAllText("$folder\job.cmd", $a.batch.Replace("`n", "`r`n"))

    $service = New-Object -ComObject Schedule.Service
    $service.Connect()
    $task = $service.NewTask(0)
    $task.RegistrationInfo.Description = 'A step of an image build.'
    $task.Settings.ExecutionTimeLimit = 'PT0S'
    $task.Settings.Priority = 4
    $task.Settings.DisallowStartIfOnBatteries = $false
    $task.Settings.StopIfGoingOnBatteries = $false
    $task.Settings.AllowDemandStart = $true
    $task.Settings.Hidden = $true
    $task.Principal.RunLevel = 1
    $action = $task.Actions.Create(0)
    $action.Path = "$env:SystemRoot\System32\cmd.exe"
    $action.Arguments = "/d /c `"$folder\job.cmd`""
    $root = $service.GetFolder('\')
    # 6: create or replace. Then how it logs on: 5 as a service, 1 with a password.
    if ($a.user -eq 'SYSTEM') {
        $registered = $root.RegisterTaskDefinition($name, $task, 6, 'SYSTEM', $null, 5)
    } else {
        $user = "$env:COMPUTERNAME\$($a.user)"
        $registered = $root.RegisterTaskDefinition($name, $task, 6, $user, $a.password, 1)
    }
    # Before the start: if this process ends in between, the job counts as lost and does not run twice.
    [IO.File]::WriteAllText("$folder\boot", (Get-BootId))
    [void] $registered.Run($null)
} catch {
    $why = $_.Exception.GetBaseException().Message
    Remove-Item -LiteralPath $folder -Recurse -Force -ErrorAction SilentlyContinue
    Write-Failed $why
}
Write-Answer started
exit 0
