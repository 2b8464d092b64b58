"""The demo: hear, see and use the codes in the browser.

sound, models, pictures: recordings in memory; which models there are; what is drawn.
work: everything that is computed, without a browser.
guard, serve, settings: what makes it safe to leave running.
panels, app: what is on the page.
"""
