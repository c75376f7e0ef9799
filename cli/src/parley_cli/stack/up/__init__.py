"""`parley up`: the engines and the services as child processes of one supervisor."""
