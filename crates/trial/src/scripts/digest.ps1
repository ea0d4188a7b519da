# goldsmith: trial-digest
# Tells the SHA-256 of the file that was there before the seal.
$ErrorActionPreference = 'Stop'
$file = [IO.File]::OpenRead('C:\Windows\Temp\trial-sealed.bin')
$hash = [Security.Cryptography.SHA256]::Create().ComputeHash($file)
"trial digest $([BitConverter]::ToString($hash).Replace('-', ''))"
