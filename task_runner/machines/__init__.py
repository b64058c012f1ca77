"""The machines that come with the Task Runner; others are installed as plug-ins."""
