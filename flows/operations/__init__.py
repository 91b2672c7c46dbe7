"""What sets dealflow up on a machine and checks it: processes, Prefect, doctor, previews."""
