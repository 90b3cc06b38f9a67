"""LangChain's own tests of chat models, on ``ChatOpenAI``, run by ``test_clients.py``, in an environment of its own."""

import os

from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests


class TestTextmill(ChatModelIntegrationTests):
    @property
    def chat_model_class(self):
        return ChatOpenAI

    @property
    def chat_model_params(self):
        return {
            "model": "smollm2",
            "base_url": os.environ["TEXTMILL_URL"] + "/v1",
            "api_key": os.environ["TEXTMILL_TEST_KEY"],
            "temperature": 0,
            "max_tokens": 400,
            "extra_body": {"repetition_penalty": 1.15},  # so small a model says one thing over and over without
            "max_retries": 0,
            "stream_usage": True,
        }

    @property
    def has_tool_choice(self):
        return True

    @property
    def supports_json_mode(self):
        return True

    @property
    def model_override_value(self):
        return "smollm2"
