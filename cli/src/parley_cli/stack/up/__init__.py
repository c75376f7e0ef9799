"""`parley up`: runs the engines and services as child processes under one supervisor."""
