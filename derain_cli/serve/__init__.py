"""A local web page that processes photos and clips with the same jobs as the command line.

`app` handles requests, behind `guard`; `worker` processes one upload after another; `store` is the private folder
of uploads and results; `server` is the HTTP server.
"""
