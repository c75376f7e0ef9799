"""Events of Parley: models, CloudEvents form, golden records, topics, AsyncAPI document."""
