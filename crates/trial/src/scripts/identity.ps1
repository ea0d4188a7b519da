# goldsmith: trial-identity
# Tells who runs this, and ends with an exit code of its own.
$me = [Security.Principal.WindowsIdentity]::GetCurrent()
$rights = New-Object Security.Principal.WindowsPrincipal $me
"trial user $($me.Name)"
"trial system $($me.IsSystem)"
"trial administrator $($rights.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator))"
exit 7
