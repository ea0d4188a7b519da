# goldsmith: trial-clock
# Tells the milliseconds since 1970.
"trial clock $([Math]::Floor(([DateTime]::UtcNow - (New-Object DateTime 1970, 1, 1)).TotalMilliseconds))"
