# goldsmith: trial-text
# Writes text beyond ASCII to both streams.
'trial text Grüße, 世界, 😀'
Write-Error 'schön schiefgegangen' -ErrorAction Continue
exit 0
