"""A model as graphs that run without audiovq: ONNX files, and programs of torch.export.

In order:
    spectra     Fourier transforms as convolutions, which every runtime knows
    graphs      encoder and decoder, whole or a block at a time, as modules with named axes
    onnx        a graph as the bytes of an ONNX file
    manifest    what a folder of graphs holds, as JSON and as a README
    check       how far the written graphs are from the model, and how fast
    write       all of it into a folder, which appears whole
    live        such a folder as a stream
"""
