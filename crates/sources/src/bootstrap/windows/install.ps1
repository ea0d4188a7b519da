# goldsmith: install
# Runs as the built-in Administrator in audit mode, at the end of Setup: generalizes Windows and
# powers the machine off. Its argument begins each of its lines on the serial ports:
#   goldsmith <mark> step 3 <text>    it has begun
#   goldsmith <mark> sealed           Windows is generalized; the machine powers off
#   goldsmith <mark> failed <text>    it is not; the machine powers off
param([Parameter(Mandatory = $true)][string] $Mark)

$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$setup = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Setup\State'
$sysprep = Join-Path $env:WINDIR 'System32\Sysprep'
$answers = @(
    (Join-Path $env:WINDIR 'Panther\unattend.xml'),
    (Join-Path $env:WINDIR 'Panther\Unattend\unattend.xml'),
    (Join-Path $sysprep 'unattend.xml')
)

function Say([string] $Text) {
    foreach ($name in 'COM2', 'COM1') {
        try {
            $port = New-Object System.IO.Ports.SerialPort $name, 115200
            $port.WriteTimeout = 5000
            $port.Open()
            $port.Write("`r`ngoldsmith $Mark $Text`r`n")
            $port.Close()
        } catch {
            # The other port may open.
            $null = $_
        }
    }
}

# An answer file that is left is read in preference to that of a machine from this image.
function Remove-Answers {
    foreach ($file in $answers) {
        if (Test-Path -LiteralPath $file) {
            Remove-Item -LiteralPath $file -Force
        }
    }
}

try {
    Say 'step 3 Windows is installed and is being generalized'
    & powercfg.exe /hibernate off
    # Audit mode opens Sysprep's window, and only one Sysprep can run.
    Get-Process -Name sysprep -ErrorAction SilentlyContinue | Stop-Process -Force
    Remove-Answers
    $run = Start-Process -FilePath (Join-Path $sysprep 'Sysprep.exe') `
        -ArgumentList '/oobe', '/generalize', '/quiet', '/quit' -PassThru -Wait
    $state = (Get-ItemProperty -Path $setup).ImageState
    if ($state -ne 'IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE') {
        $log = Join-Path $sysprep 'Panther\setuperr.log'
        $last = ''
        if (Test-Path -LiteralPath $log) {
            $last = (Get-Content -LiteralPath $log -Tail 3) -join ' '
        }
        throw "Sysprep ended with $($run.ExitCode) and left the image in the state $state. $last"
    }
    Remove-Answers
    Say 'sealed'
} catch {
    Say ('failed ' + (($_.Exception.Message -replace '[^\x20-\x7e]+', ' ').Trim()))
}
& shutdown.exe /s /t 0
