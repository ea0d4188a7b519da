# goldsmith: trial-restart
# Restarts Windows while the job runs, as an installer may do.
'trial restarting'
& shutdown.exe /r /f /t 0
Start-Sleep -Seconds 900
