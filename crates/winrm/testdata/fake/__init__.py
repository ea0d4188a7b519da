"""A stand-in for the WinRM service of Windows: the WinRS shell over HTTP/1.1, with TLS, Basic, NTLM and its message encryption.

It runs commands in an interpreter that can be replaced, and it can be told to misbehave (see faults.py). It imitates
only the wire. The folder is a package of any name, and needs nothing but Python 3.11, except ntlm.py, which imports pyspnego.
"""
