DELETE FROM billhook.flow_functions WHERE id = $1
