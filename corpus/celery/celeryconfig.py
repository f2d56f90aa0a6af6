broker_url = "memory://"
result_backend = "file:///tmp/results"
accept_content = ["json"]
beat_schedule_filename = "/tmp/beat-schedule"
worker_redirect_stdouts = False
