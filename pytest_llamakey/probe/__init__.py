"""The probe: an agent inside every Python process of the deployment, and the listener that it reports to."""
