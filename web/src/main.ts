import { mount } from 'svelte'
import App from './App.svelte'
import './app.css'
import { theme } from './lib/theme.svelte'

theme.start() // before the first paint, so that a dark page never flashes white
mount(App, { target: document.getElementById('page')! })
