@echo off
rem What a job's task runs (job-start): output and exit code go to files. The code becomes visible as a
rem whole, by a rename. A digit right before > would be the number of a stream.
chcp 65001 >nul
"%SystemRoot%\System32\WindowsPowerShell\v1.0\powershell.exe" -NonInteractive -ExecutionPolicy Bypass -OutputFormat Text -File "%~dp0launch.ps1" <nul >"%~dp0output" 2>&1
>"%~dp0code" echo %ERRORLEVEL%
move /y "%~dp0code" "%~dp0exit" >nul
