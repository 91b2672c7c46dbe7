"""Dropbox Sign: the whole service (`service`), status and downloads (`client`), sending (`sender`), callbacks
(`callback`), records and statuses.

Importing this package loads nothing; import the module you need (`sender` alone loads the vendor's SDK, late).
"""
