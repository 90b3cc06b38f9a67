"""LangChain's own tests of chat models, on ``ChatOpenAI``, run by ``test_clients.py``, in an environment of its own."""

import os

import pytest
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
            # So small a model says one thing, and calls one tool, over and over without.
            "frequency_penalty": 0.5,
            "extra_body": {"parallel_tool_calls": False},
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

    # What the server can force it does; these ask the model itself for more than 135 million parameters know.

    @pytest.mark.xfail(reason="JSON of any shape: SmolLM2-135M does not keep to the fields that the prompt describes")
    def test_json_mode(self, model):
        super().test_json_mode(model)

    @pytest.mark.xfail(reason="SmolLM2-135M does not call a tool by itself")
    def test_agent_loop(self, model):
        super().test_agent_loop(model)
