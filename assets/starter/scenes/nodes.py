"""A small shorthand for writing Blender's shader nodes in the order one reads them."""

from collections.abc import Sequence

import bpy

Value = object


def set_input(tree: bpy.types.NodeTree, socket: bpy.types.NodeSocket, value: Value) -> None:
    """Link a socket to another socket, or give it a constant (three numbers make a colour)."""
    if value is None:
        return
    if isinstance(value, bpy.types.NodeSocket):
        tree.links.new(value, socket)
    elif socket.type == "RGBA" and len(value) == 3:
        socket.default_value = (*value, 1.0)
    else:
        socket.default_value = value


class Graph:
    """Adds nodes to one tree; every method returns a node's output socket unless it says node."""

    def __init__(self, tree: bpy.types.NodeTree) -> None:
        self.tree = tree

    def node(self, kind: str, **settings: Value) -> bpy.types.Node:
        """Add a ShaderNode<kind>: Capitalised_Names are inputs, lower-case names properties."""
        node = self.tree.nodes.new(f"ShaderNode{kind}")
        for name, value in settings.items():
            if not name[0].isupper():
                setattr(node, name, value)
        for name, value in settings.items():
            if name[0].isupper():
                set_input(self.tree, node.inputs[name.replace("_", " ")], value)
        return node

    def math(self, operation: str, a: Value, b: Value = None, c: Value = None, clamp=False):
        """Compute on numbers, such as math("MULTIPLY", a, b)."""
        node = self.node("Math", operation=operation, use_clamp=clamp)
        for socket, value in zip(node.inputs, (a, b, c), strict=False):
            set_input(self.tree, socket, value)
        return node.outputs[0]

    def vector(self, operation: str, a: Value, b: Value = None, scale: Value = None):
        """Compute on vectors; DOT_PRODUCT, LENGTH and DISTANCE give a number."""
        node = self.node("VectorMath", operation=operation)
        set_input(self.tree, node.inputs[0], a)
        set_input(self.tree, node.inputs[1], b)
        if scale is not None:
            set_input(self.tree, node.inputs["Scale"], scale)
        return node.outputs[1 if operation in ("DOT_PRODUCT", "LENGTH", "DISTANCE") else 0]

    def split(self, vector: Value):
        """Give the x, y and z sockets of a vector."""
        return tuple(self.node("SeparateXYZ", Vector=vector).outputs)

    def join(self, x: Value, y: Value, z: Value):
        """Put three numbers together into a vector."""
        return self.node("CombineXYZ", X=x, Y=y, Z=z).outputs[0]

    def mix(self, factor: Value, a: Value, b: Value, blend: str = "MIX"):
        """Blend two colours."""
        node = self.node("Mix", data_type="RGBA", blend_type=blend)
        for index, value in ((0, factor), (6, a), (7, b)):
            set_input(self.tree, node.inputs[index], value)
        return node.outputs[2]

    def smooth(self, value: Value, low: Value, high: Value):
        """Map low..high to 0..1 with a soft start and end."""
        node = self.node("MapRange", interpolation_type="SMOOTHSTEP", Value=value)
        set_input(self.tree, node.inputs["From Min"], low)
        set_input(self.tree, node.inputs["From Max"], high)
        return node.outputs[0]

    def ramp(self, factor: Value, stops: Sequence[tuple[float, Sequence[float]]]):
        """Map 0..1 through (position, colour) stops."""
        node = self.node("ValToRGB", Fac=factor)
        elements = node.color_ramp.elements
        while len(elements) < len(stops):
            elements.new(1.0)
        for element, (position, colour) in zip(elements, stops, strict=True):
            element.position = position
            element.color = (*colour[:3], 1.0)
        return node.outputs[0]

    def noise(
        self,
        scale: float,
        vector: Value = None,
        detail: float = 4.0,
        roughness: float = 0.5,
        distortion: float = 0.0,
        offset: float = 0.0,
    ):
        """Give a fractal noise of 0..1 around 0.5; `offset` moves it elsewhere for another seed."""
        vector = self.coordinates() if vector is None else vector
        if offset:  # A shift is cheaper than noise in four dimensions.
            vector = self.vector("ADD", vector, (17.3 * offset, 9.1 * offset, 5.7 * offset))
        return self.node(
            "TexNoise",
            Vector=vector,
            Scale=scale,
            Detail=detail,
            Roughness=roughness,
            Distortion=distortion,
        ).outputs[0]

    def coordinates(self, kind: str = "Object"):
        """Give texture coordinates (Object, Generated, UV), the object's own by default."""
        return self.node("TexCoord").outputs[kind]

    def stretch(self, vector: Value, scale: Sequence[float], rotation=(0, 0, 0), move=(0, 0, 0)):
        """Scale, turn and move texture coordinates."""
        return self.node(
            "Mapping", Vector=vector, Scale=scale, Rotation=rotation, Location=move
        ).outputs[0]

    def bump(
        self, height: Value, strength: Value = 0.5, distance: float = 0.1, normal: Value = None
    ):
        """Turn a height into a normal; `distance` is the height's depth in scene units."""
        return self.node(
            "Bump", Height=height, Strength=strength, Distance=distance, Normal=normal
        ).outputs[0]

    def attribute(self, name: str):
        """Give a mask that terrain.sheet() stored at the vertices."""
        return self.node("Attribute", attribute_name=name).outputs["Fac"]

    def random(self):
        """Give a number of 0..1 that differs between the objects that share a material."""
        return self.node("ObjectInfo").outputs["Random"]
