"""What gradients and weights come down to: the sums of `tb_netviz.statistics.partials`.

`host` reduces what lies in the host's memory, in one pass where the native reductions can read it and with the
operations of `general` otherwise; `device` what lies on an accelerator, without waiting for it.
"""
