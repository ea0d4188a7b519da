# goldsmith: trial-trusted
# Tells whether Windows sees the TPM, and has started by Secure Boot.
$ErrorActionPreference = 'Stop'
"trial tpm $((Get-Tpm).TpmPresent)"
"trial secure-boot $(Confirm-SecureBootUEFI)"
