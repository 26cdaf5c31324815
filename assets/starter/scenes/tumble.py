"""Let things fall: rigid bodies dropped on a floor, so that a pile lies as a real one does."""

import bpy


def tumble(movers: list, fixed: list, frames: int = 90, friction: float = 0.6) -> None:
    """Drop the movers onto the fixed things and leave everything where it comes to rest.

    Movers collide as their convex hulls, fixed things as they are; units are taken for metres, so
    scenes of a few units fall and settle within about 90 frames.
    """
    scene = bpy.context.scene
    bpy.ops.rigidbody.world_add()
    world = scene.rigidbody_world
    world.collection = bpy.data.collections.new("bodies")
    world.substeps_per_frame, world.solver_iterations = 8, 12
    world.point_cache.frame_end = frames
    for item in (*movers, *fixed):
        world.collection.objects.link(item)
        body = item.rigid_body
        if body is None:
            with bpy.context.temp_override(object=item, active_object=item):
                bpy.ops.rigidbody.object_add()
            body = item.rigid_body
        body.type = "PASSIVE" if item in fixed else "ACTIVE"
        body.collision_shape = "MESH" if item in fixed else "CONVEX_HULL"
        body.use_margin, body.collision_margin = True, 0.001
        body.friction, body.restitution = friction, 0.05
        body.linear_damping, body.angular_damping = 0.08, 0.25
    for frame in range(1, frames + 1):
        scene.frame_set(frame)
    graph = bpy.context.evaluated_depsgraph_get()
    rest = [item.evaluated_get(graph).matrix_world.copy() for item in movers]
    bpy.ops.rigidbody.world_remove()
    scene.frame_set(1)
    for item, place in zip(movers, rest, strict=True):
        item.matrix_world = place
