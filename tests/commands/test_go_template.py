"""The Go templates of ``--format``, on the forms that people use."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.commands.template import Template, TemplateError

VALUE = {
    "State": {"Running": True, "ExitCode": 0, "Health": None},
    "Name": "/web",
    "Ports": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}], "90/tcp": []},
    "Args": ["a", "b c"],
    "Ratio": 1.5,
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.State.Running}}", "true"),
        ("{{ .Name }}!", "/web!"),
        ("{{.}}", "map[Args:[a b c] Name:/web Ports:map[80/tcp:[map[HostIp:127.0.0.1 HostPort:8080]] 90/tcp:[]] "
                  "Ratio:1.5 State:map[ExitCode:0 Health:<nil> Running:true]]"),
        ("{{.State.Health}}", "<no value>"),
        ("{{json .State}}", '{"Running":true,"ExitCode":0,"Health":null}'),
        ('{{index .Args 1}}', "b c"),
        ('{{(index (index .Ports "80/tcp") 0).HostPort}}', "8080"),
        ('{{index .Ports "80/tcp" 0 "HostIp"}}', "127.0.0.1"),
        ("{{range .Args}}<{{.}}>{{end}}", "<a><b c>"),
        ("{{range $i, $a := .Args}}{{$i}}={{$a}};{{end}}", "0=a;1=b c;"),
        ("{{range $p, $c := .Ports}}{{$p}}:{{range $c}}{{.HostPort}}{{else}}none{{end}} {{end}}",
         "80/tcp:8080 90/tcp:none "),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if .State.ExitCode}}bad{{else if eq .Name \"/web\"}}web{{else}}other{{end}}", "web"),
        ("{{if and .State.Running (not .State.ExitCode)}}ok{{end}}", "ok"),
        ("{{with .State}}{{.ExitCode}} {{$.Name}}{{end}}", "0 /web"),
        ('{{join .Args ", "}}', "a, b c"),
        ('{{.Name | upper | printf "%s-%d-%s" "x" 3}}', "x-3-/WEB"),
        ("{{.Name | upper}}", "/WEB"),
        ("{{len .Args}} {{.Ratio}}", "2 1.5"),
        ("a {{- .Ratio -}} b", "a1.5b"),
        ("{{/* a comment */}}x", "x"),
        ("{{$n := .Name}}{{$n}}", "/web"),
        ('{{printf "%s:%d" .Name 3}}', "/web:3"),
        ('{{"}}"}}', "}}"),
        ("{{`raw`}}", "raw"),
        ('{{println .Name}}', "/web\n"),
        ('{{index (split .Name "/") 1}}', "web"),
    ],
)  # fmt: skip
def test_forms(template: str, text: str) -> None:
    """Each construct that Docker's documentation of --format uses."""
    assert Template(template).render(VALUE) == text


@pytest.mark.parametrize(
    "template",
    [
        "{{.Nope}}", "{{.Name.Nope}}", "{{", "{{.Name", "{{end}}", "{{if .Name}}", "{{nosuch .Name}}", "{{}}",
        "{{.A | }}", "{{(.Name}}", "{{.Name)}}", '{{"x}}', "{{index .Args 9}}", "{{range .Name}}{{end}}", "{{$x}}",
        "{{.Name .Args}}", "{{else}}", "{{join .Args}}",
    ],
)  # fmt: skip
def test_mistakes(template: str) -> None:
    """A template that is wrong, or asks for what is not there, is an error of its own kind."""
    with pytest.raises(TemplateError):
        Template(template).render(VALUE)


@given(st.text('{}.$|()"`-ax A \n', max_size=25))
@settings(max_examples=400, deadline=None)
def test_no_text_breaks_the_engine(text: str) -> None:
    """Whatever is typed, the answer is a string or a TemplateError."""
    try:
        assert isinstance(Template(text).render({"A": {"a": ["x"]}, "x": 1}), str)
    except TemplateError:
        pass


@given(st.text(max_size=20).filter(lambda text: "{{" not in text))
@settings(max_examples=50, deadline=None)
def test_text_without_braces_is_itself(text: str) -> None:
    """Only braces have a meaning."""
    assert Template(text).render(None) == text
