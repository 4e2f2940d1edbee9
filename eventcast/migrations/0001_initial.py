"""The permissions on channels. No table is made: the model is not managed."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="Channel",
            fields=[("name", models.TextField(primary_key=True, serialize=False))],
            options={
                "managed": False,
                "base_manager_name": "objects",
                "verbose_name": "channel",
                "verbose_name_plural": "channels",
                "default_permissions": ("view",),
                "permissions": (
                    ("publish_channel", "Can publish to channels"),
                    ("disconnect_channel", "Can disconnect subscribers of channels"),
                ),
            },
        ),
    )
