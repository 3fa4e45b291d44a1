"""The parameters of a run as options, alike in every command that starts one."""

from typing import Annotated

import typer

Mask = Annotated[str | None, typer.Option(help="Mask image, a file or URL.")]
Prompt = Annotated[str | None, typer.Option(help="Text that names the object.")]
Box = Annotated[str | None, typer.Option("--box", help="Corners: x1,y1,x2,y2, or a JSON list.")]
Points = Annotated[str | None, typer.Option("--points", help="Points: x1,y1;x2,y2, or JSON pairs.")]
Seed = Annotated[int | None, typer.Option(help="0 to 1000000.")]
Artifacts = Annotated[bool | None, typer.Option("--artifacts", help="Make a ZIP as well.")]
