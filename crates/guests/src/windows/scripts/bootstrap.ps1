# goldsmith: bootstrap
# Runs one of goldsmith's scripts. This text is the same for every call and goes into -EncodedCommand; all the rest
# comes over standard input, so that no text of a template is ever quoted for cmd.exe or PowerShell.
#
# Standard input, lines of ASCII: base64 of the arguments (UTF-8 JSON, an object with `mark`), base64 of the script
# (UTF-8), then data for the script, one piece of base64 per line, then a line with a dot. `$input` hands the lines over
# as they arrive. The script gets the arguments as `$a` and the lines as `$lines`.
# Exit code 90: the input ended too early.
$global:ProgressPreference = 'SilentlyContinue'
# WinRM asks for this code page; over SSH the console has another.
try { [Console]::OutputEncoding = New-Object Text.UTF8Encoding $false } catch { [void] $_ }
$goldsmith = $input
if (-not $goldsmith.MoveNext()) { exit 90 }
$goldsmithArguments = ConvertFrom-Json ([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($goldsmith.Current)))
if (-not $goldsmith.MoveNext()) { exit 90 }
$goldsmithScript = [ScriptBlock]::Create([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($goldsmith.Current)))
& $goldsmithScript $goldsmithArguments $goldsmith
exit $LASTEXITCODE
