# goldsmith: answers
# What the scripts have in common that goldsmith calls: it puts this behind their line `param($a, $lines)`.

# An answer is a line that begins with the mark of this call, so that nothing else passes for one.
function Write-Answer([string] $words) { [Console]::Out.WriteLine("$($a.mark) $words") }
# An answer that ends in text, which is base64 there: whatever it is, it stays one word.
function Write-Text([string] $word, [string] $text) {
    Write-Answer "$word $([Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($text)))"
}
# Says which boot this is: the same until the next restart, also after the machine was resumed from saved RAM. The time
# of the boot would not do, since it moves with the clock. A volatile key is in no image.
function Get-BootId {
    $options = [Microsoft.Win32.RegistryOptions]::Volatile
    $check = [Microsoft.Win32.RegistryKeyPermissionCheck]::ReadWriteSubTree
    $key = [Microsoft.Win32.Registry]::LocalMachine.CreateSubKey('SOFTWARE\goldsmith-boot', $check, $options)
    if (-not $key.GetValue('Id')) { $key.SetValue('Id', [Guid]::NewGuid().ToString('N')) }
    $key.GetValue('Id')
}
