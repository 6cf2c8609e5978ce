"""The web page: photos and clips in a browser, restored on this machine by the jobs that the command line runs.

`app` is the page and its interface, behind `guard`; `worker` does one upload after the other; `store` is the private
folder that everything lies in until it is deleted. `server` listens.
"""
